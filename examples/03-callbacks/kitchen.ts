// The contract: functions, signals and objects go both ways.
import { type ByRef, contract } from 'plugwire'

/** Stays in the host; the plugin holds a reference and calls it. */
export interface Pantry {
  take(ingredient: string, grams: number): Promise<void>
}

/** One storey of a cake: host and plugin call each other, each one deeper than the last. */
export type Storey = (storeys: number, other: Storey) => Promise<string>

export interface Kitchen {
  cook(dish: string, pantry: ByRef<Pantry>, tell: (step: string) => void): Promise<string>
  /** Simmers until it is told to stop. */
  simmer(enough: AbortSignal): Promise<string>
  /** Takes its time; made to be called with a deadline. */
  bake(minutes: number): Promise<string>
  /** What the last `bake` noticed when it was cancelled. */
  afterBaking(): Promise<string>
  stack(storeys: number, other: Storey): Promise<string>
}

export const kitchen = contract<{ kitchen: Kitchen }>({ name: 'kitchen', version: 1 })
