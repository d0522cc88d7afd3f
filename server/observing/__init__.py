"""What operators see of a server: metrics, the access log, traces. None of it holds data of a patient."""
