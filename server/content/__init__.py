"""Bodies of requests and answers: media types, forms of resources, compression."""
