"""The one door through which daemons are started, stopped and watched: an allow-list, proof, and a trail."""
