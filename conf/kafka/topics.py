#!/usr/bin/python3
"""Creates the Kafka topics that are missing.

usage: topics.py BROKERS PARTITIONS TOPIC...

Waits up to 60 s for the broker; an existing topic is left as it is.
"""
import sys
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic


def existing(admin, deadline):
    while True:
        try:
            return set(admin.list_topics(timeout=5).topics)
        except KafkaException as error:
            if time.monotonic() > deadline:
                sys.exit(f"topics.py: the broker does not answer: {error}")


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    brokers, partitions, wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    there = existing(admin, time.monotonic() + 60)
    missing = [topic for topic in wanted if topic not in there]
    if not missing:
        return
    made = admin.create_topics([NewTopic(topic, partitions, 1) for topic in missing], operation_timeout=30)
    for topic, future in made.items():
        future.result()
        print("created", topic)


if __name__ == "__main__":
    main()
