"""Capacity: do nodes, quotas and limits admit the wanted number of clients?"""
