// The contract of the demo's own plugin, for what the examples and sift have no use for.
import { contract } from 'plugwire'

export interface Stage {
  /** How the plugin's own stdin and stdout look from inside. */
  terminal(): Promise<{ stdin: boolean; stdout: boolean; colours: number }>
  /** Starts a process that would run for an hour. */
  startSomethingLong(): Promise<number>
  pid(): Promise<number>
}

export const stage = contract<{ stage: Stage }>({ name: 'demo-stage', version: 1 })
