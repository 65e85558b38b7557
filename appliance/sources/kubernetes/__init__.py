"""Kubernetes manifests of an agent that reads the pods' logs on each node and pushes them here, or to Loki."""
