"""From a statement to an answer: pages of one moment, what comes along, contents from the bucket."""
