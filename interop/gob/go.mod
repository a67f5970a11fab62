module plugwire.dev/interop/gob

go 1.26.0
