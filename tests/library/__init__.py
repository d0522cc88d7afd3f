"""The library, used as its users use it: only public imports."""
