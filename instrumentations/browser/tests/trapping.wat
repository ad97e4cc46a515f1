;; A guest whose start function traps.
(module $trapping
  (func $start unreachable)
  (start $start))
