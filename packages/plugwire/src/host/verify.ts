// Verification, loaded when it is first asked for.

import type { Digest } from '../process/verified/digest.ts'
import type { VerifiedProgram } from '../process/verified/start-plan.ts'
import type { VerifyOptions } from '../process/verified/verify.ts'

/**
 * Verifies a program and keeps it so that exactly the verified bytes can be started, as often as one likes: `await launch(contract, program)`.
 *
 * The file is read once; its bytes are hashed while they are copied to where it is started from. A native program is started from a file without a
 * name (Linux), sealed memory (on request) or a private directory; `rung` tells which. One in JavaScript (`.js`, `.mjs`, `.cjs`) has to be a bundle that
 * imports nothing but Node's own modules; it goes to its process through a pipe, and nothing on the disk can take a module's place.
 *
 * @param program The file, or its bytes.
 * @throws PluginError `ERR_CHECKSUM` when it is something else, `ERR_PLUGIN_NOT_FOUND`, `ERR_VERIFIED_PLACE` when no place is strong enough.
 */
export async function verifyProgram(
  program: string | URL | Uint8Array,
  expected: Digest,
  options?: VerifyOptions,
): Promise<VerifiedProgram> {
  return (await import('../process/verified/verify.ts')).verifyProgram(program, expected, options)
}

/**
 * The same for a program in JavaScript of several files, each with its digest: modules that import each other, and what lies in their `node_modules`.
 *
 * @param files By path relative to the package's root, with `/`: the bytes, and what they are expected to be.
 * @param entry Which of them is started.
 */
export async function verifyScript(
  name: string,
  files: ReadonlyMap<string, { readonly bytes: Uint8Array; readonly digest: Digest }>,
  entry: string,
  options?: VerifyOptions,
): Promise<VerifiedProgram> {
  return (await import('../process/verified/verify.ts')).verifyScript(name, files, entry, options)
}
