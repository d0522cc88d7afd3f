"""Where a request comes from, to which host name it was sent, and which tenant it is for."""
