;; A guest without imports and without a name.
(module
  (memory (export "memory") 2)
  (func (export "nothing")))
