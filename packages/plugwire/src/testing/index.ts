// `plugwire/testing`: for tests of plugins and hosts.
export type { Faults } from './faulty-link.ts'
export { type Pair, type PairOptions, pair, type Severable } from './pair.ts'
export { LeftoverError, type TestWorld, testWorld, type WorldLaunchOptions, type WorldOptions } from './world.ts'
