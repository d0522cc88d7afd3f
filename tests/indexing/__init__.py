"""Local indexes kept in step with a bucket."""
