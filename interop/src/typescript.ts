// The peers of the interop tests that are written in TypeScript, as commands.

export interface Program {
  readonly host: readonly string[]
  readonly plugin: readonly string[]
}

/** By protocol; a protocol that is missing has no peers yet. */
export const typescriptPrograms: { readonly grpc?: Program; readonly netrpc?: Program } = {}
