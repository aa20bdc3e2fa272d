"""Pure planning: a fleet in, a plan out."""
