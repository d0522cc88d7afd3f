"""Direct uploads under bad weather: the real `Uploads`, in virtual time, on a network that delays, loses and repeats.

`world` is the loop, the network and the processes; `schedule` makes a schedule of a seed and judges how it ended.
"""
