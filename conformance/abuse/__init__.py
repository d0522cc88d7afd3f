"""Requests that cost their sender little and a server much, and what becomes of everybody else meanwhile.

Black-box: only HTTP, and `/proc/PID` for the memory of a server on this machine. While an abusive request is under
way, a process of its own asks for `/health/live` every few milliseconds and keeps the longest wait (ticking.py). The
requests are of legal size (16 MB at most) and of two kinds: work.py holds the processor, holding.py holds memory and
sockets. All are bounded in number and time; nothing is sent beyond this machine unless that is asked for.
"""
