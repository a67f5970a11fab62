// The compliance kit within one process, with bytes cut at every place.

import type { Faults } from 'plugwire/testing'
import { probeContract, probeFactories } from '../fixtures/probe.ts'
import { compliance, type Setup } from './kit.ts'

function inMemory(name: string, faults: Faults, setup?: Setup): void {
  compliance(name, (world, logger) => world.pair(probeContract, probeFactories, { faults, logger }), setup)
}

/** The same cuts in every run. */
function cuts(seed: number, most: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return 1 + ((state >>> 8) % most)
  }
}

inMemory('memory', {})
inMemory('memory, byte by byte', { pieceBytes: 1 }, { largeBytes: 128 * 1024, manyCalls: 300 })
for (const seed of [1, 2, 3]) inMemory(`memory, random cuts ${seed}`, { pieceBytes: cuts(seed, 3_000) }, { largeBytes: 1024 * 1024 })
inMemory('memory, delayed', { delayMs: 1 }, { largeBytes: 512 * 1024, manyCalls: 300 })
