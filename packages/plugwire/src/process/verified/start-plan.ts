// How a verified program is started, as far as a launch needs to know. Small, since it stands on the way of every launch.

import type { Rung } from './place.ts'

/** How a verified program is started: from a place that holds its bytes, or, when the host's own runtime runs it, through a pipe. */
export type VerifiedRung = Rung | 'pipe'

/** A program that was verified. It can be started until `close`; what was started from it goes on. */
export interface VerifiedProgram extends Disposable {
  readonly name: string
  /** How strong the place is from which it is started. */
  readonly rung: VerifiedRung
  readonly bytes: number
  /** Why stronger places were no good, in the order in which they were tried. */
  readonly passedOver: readonly string[]
  close(): void
}

/** How to start it. */
export interface StartPlan {
  /** What is executed. */
  readonly file: string
  /** Arguments before the plugin's own. */
  readonly args: readonly string[]
  /** What the child finds at descriptor 4: this open file, or what comes through a pipe. */
  readonly inherit: number | undefined
  readonly pipe: readonly Uint8Array[] | undefined
  /** @throws PluginError when it was closed. */
  check(): void
}

export const startable: unique symbol = Symbol('plugwire.startable')

/** @internal */
export interface Startable extends VerifiedProgram {
  readonly [startable]: StartPlan
}

/** Where a child finds what it is started from. */
export const PROGRAM_DESCRIPTOR = 4

/** How to start a verified program; undefined when the value is none. */
export function startPlanOf(program: object): StartPlan | undefined {
  return (program as Partial<Startable>)[startable]
}
