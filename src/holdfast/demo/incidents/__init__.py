"""Incidents that happened to people with agents, played on this machine: without holdfast, and with it.

Run as ``python -m holdfast.demo.incidents``. The models are scripted and their services are on loopback; the
clients, the requests, the retries and what is counted are real.
"""
