// Before the first paint: the theme that was chosen; without a choice, that of the system.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch { /* no storage: that of the system */ }
