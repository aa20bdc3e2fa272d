"""What runs on the control nodes: rollouts, their store, controller and commands."""
