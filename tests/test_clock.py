"""ULIDs: what the ids and op tokens of this store are."""

import time
from concurrent.futures import ThreadPoolExecutor

from ulid import ULID

from fhirstore.clock import SystemIds


def test_ids_are_ulids_of_now() -> None:
    """python-ulid reads them back, with the time at which they were made."""
    ids, before = SystemIds(), time.time_ns() // 1_000_000
    made = [ULID.from_str(ids.new()) for _ in range(100)]
    after = time.time_ns() // 1_000_000
    assert all(before <= ulid.milliseconds <= after for ulid in made)


def test_ids_of_several_sources_sort_by_time_and_never_meet() -> None:
    sources, made = [SystemIds() for _ in range(4)], []
    for _ in range(3):
        made.append({source.new() for source in sources for _ in range(5_000)})
        time.sleep(0.002)
    assert len(set().union(*made)) == 60_000
    assert max(made[0]) < min(made[1]) and max(made[1]) < min(made[2])


def test_ids_of_one_source_ascend() -> None:
    ids = SystemIds()
    made = [ids.new() for _ in range(50_000)]
    assert made == sorted(made)
    assert len({ulid[:10] for ulid in made}) > 1


def test_every_random_digit_takes_every_value() -> None:
    made = [SystemIds().new() for _ in range(2_000)]
    assert all(len({ulid[place] for ulid in made}) == 32 for place in range(10, 26) if place != 22)
    assert len({ulid[22] for ulid in made}) == 16  # half of the last four digits' range is left to count


def test_threads_never_get_the_same_id() -> None:
    ids = SystemIds()
    with ThreadPoolExecutor(4) as threads:
        made = [ulid for some in threads.map(lambda _: [ids.new() for _ in range(5_000)], range(8)) for ulid in some]
    assert len(set(made)) == 40_000
