"""Telling other systems what happens: signed webhooks, each event once to each target."""
