"""The names of all objects of a submission, below `bulk/submit/{submitter}/{submission}/`.

| key | content |
|---|---|
| `submission.json` | the submission's document (`state`); compare-and-set |
| `private/{name}.json` | the secrets of a request (headers, encryption key), until its manifest is read |
| `watches/{id}.json` | a polling location (`watches`) |
| `metadata.json`, `state.json`, `log/`, `progress/`, `files/` | those of its job (`fhirstore.jobs`) |
| `manifests/{manifest}/pages/{page}.json` | one page of the provider's manifest, as it was read; IfAbsent |
| `raw/{manifest}/{segment}-{hash}.ndjson` | the lines of a segment as they were read |
| `changes/{manifest}/{segment}.json` | its plan: what each line writes, and the version before; IfAbsent |
| `results/{manifest}/{segment}.json` | what became of each of its lines |
| `undo/{manifest}/{segment}.json` | what became of each when it was undone |
| `outcomes/{manifest}/{name}.ndjson` | OperationOutcomes for the provider |
| `manifests/{manifest}/summary.json` | what became of a manifest: written last, IfAbsent |
| `manifests/{manifest}/undone.json` | what became of its undoing: written last, IfAbsent |

`{segment}` is the file's number, counted through all pages, and the number of the segment's first line. Results with
the first line 0 are of the file as a whole: they are written last, and say that it is done.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SubmissionKeys:
    """`prefix`: of the submission; it ends with `/`."""

    prefix: str

    @property
    def document(self) -> str:
        """The key of the submission's document."""
        return f"{self.prefix}submission.json"

    def private(self, name: str) -> str:
        """The key of the secrets that came with a request."""
        return f"{self.prefix}private/{name}.json"

    def watch(self, id: str) -> str:
        """The key of a polling location."""
        return f"{self.prefix}watches/{id}.json"

    def manifest(self, manifest: str) -> ManifestKeys:
        """The keys of one manifest."""
        return ManifestKeys(self.prefix, manifest)


@dataclass(frozen=True, slots=True)
class ManifestKeys:
    """The keys of one manifest of the submission with this `prefix`."""

    prefix: str
    manifest: str

    def page(self, page: int) -> str:
        """One page of the provider's manifest."""
        return f"{self.prefix}manifests/{self.manifest}/pages/{page:05d}.json"

    @property
    def summary(self) -> str:
        """What became of the manifest."""
        return f"{self.prefix}manifests/{self.manifest}/summary.json"

    @property
    def undone(self) -> str:
        """What became of its undoing."""
        return f"{self.prefix}manifests/{self.manifest}/undone.json"

    @property
    def all_results(self) -> str:
        """The prefix of all results, in the order of files and lines."""
        return f"{self.prefix}results/{self.manifest}/"

    @property
    def all_undo(self) -> str:
        """The prefix of what became of all segments when they were undone."""
        return f"{self.prefix}undo/{self.manifest}/"

    @property
    def plans(self) -> str:
        """The prefix of all plans, in the order of files and lines."""
        return f"{self.prefix}changes/{self.manifest}/"

    def raw(self, file: int, first: int, digest: str) -> str:
        """The lines of a segment. `digest`: hex, of these very bytes, so that two writers never differ."""
        return f"{self.prefix}raw/{self.manifest}/{segment_name(file, first)}-{digest[:16]}.ndjson"

    def plan(self, file: int, first: int) -> str:
        """The plan of a segment."""
        return f"{self.plans}{segment_name(file, first)}.json"

    def results(self, file: int, first: int) -> str:
        """The results of a segment."""
        return f"{self.all_results}{segment_name(file, first)}.json"

    def undo(self, file: int, first: int) -> str:
        """What became of a segment when it was undone."""
        return f"{self.all_undo}{segment_name(file, first)}.json"

    def outcome(self, name: str) -> str:
        """A file of OperationOutcomes. `name`: unique to its writer."""
        return f"{self.prefix}outcomes/{self.manifest}/{name}"


def segment_name(file: int, first: int) -> str:
    """The name of a segment; names sort as files and lines do."""
    return f"{file:06d}-{first:010d}"


def parse_segment(name: str) -> tuple[int, int]:
    """Returns file and first line. Raises ValueError."""
    file, _, first = name.partition("-")
    return int(file), int(first)
