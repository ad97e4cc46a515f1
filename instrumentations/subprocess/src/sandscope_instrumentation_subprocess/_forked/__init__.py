"""Forked children, which become executions when they execute a program."""
