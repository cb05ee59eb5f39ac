"""Rollouts that fail or are hindered for a while: how soon and how truly they are explained."""
