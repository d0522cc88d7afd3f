"""Operations: one file per `$name`."""
