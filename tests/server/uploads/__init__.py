"""Tests of direct transfer over HTTP: `server.operations.uploads`."""
