// The peers of the interop tests that are written in TypeScript, as commands.

import { fileURLToPath } from 'node:url'

export interface Program {
  readonly host: readonly string[]
  readonly plugin: readonly string[]
}

const node = (file: string): readonly string[] => [process.execPath, fileURLToPath(new URL(`../ts/${file}`, import.meta.url))]

/** Offers both versions of the contract. */
export const typescriptPlugin: readonly string[] = node('plugin.js')

/** By protocol; `plugin` offers one version of the contract. */
export const typescriptPrograms: { readonly [Protocol in 'grpc' | 'netrpc']: Program } = {
  grpc: { host: node('grpc-host.js'), plugin: node('grpc-plugin.js') },
  netrpc: { host: node('netrpc-host.js'), plugin: node('netrpc-plugin.js') },
}
