"""Deploys, and the delay until whoever waits for a rollout hears of its end."""
