"""Who a request comes from and which tenant it means."""
