"""Flight and OTLP on one gRPC server: the one room that speaks gRPC."""
