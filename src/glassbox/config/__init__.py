"""From a config to objects: the schema, its checks, and the one place that builds what a config names."""
