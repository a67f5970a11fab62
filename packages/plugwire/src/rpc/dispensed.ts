// An instance on its way to the host: a reference of its own, even when a factory returns one object twice.

import type { MethodTable } from './method-table.ts'

/** Returned by a root's `dispense`; travels as a reference to `target`. */
export class Dispensed {
  readonly target: object
  readonly name: string
  readonly methods: MethodTable

  constructor(target: object, name: string, methods: MethodTable) {
    this.target = target
    this.name = name
    this.methods = methods
  }
}
