"""The way from journals to a server or to Kafka."""
