// Makes one JavaScript file of a plugin and everything it imports, by esbuild if it is installed. Such a file can be verified as a whole and started without
// touching the disk.

import { PluginError } from 'plugwire'

/**
 * Bundles a plugin for Node.
 * @param entry A source file, JavaScript or TypeScript.
 * @returns The bytes of one ES module that imports nothing but Node's own modules.
 * @throws PluginError `ERR_STORE_IO` when esbuild is missing or cannot bundle it
 */
export async function bundle(entry: string): Promise<Uint8Array> {
  const { build } = await import('esbuild').catch((cause: unknown) => {
    const remedy = 'npm install --save-dev esbuild, or bundle it by other means and pack the result.'
    throw new PluginError(
      'ERR_STORE_IO',
      { subject: entry, reason: 'to bundle it, esbuild is needed and not installed', remedy },
      { cause },
    )
  })
  try {
    const { outputFiles } = await build({
      entryPoints: [entry],
      bundle: true,
      write: false,
      platform: 'node',
      format: 'esm',
      target: 'node20.19',
      // What was written for CommonJS asks for Node's own modules by `require`.
      banner: {
        js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire('file:///plugin.js');",
      },
      legalComments: 'inline',
      logLevel: 'silent',
    })
    return outputFiles[0]?.contents ?? new Uint8Array(0)
  } catch (cause) {
    const [first] = (cause as { errors?: { text: string; location: { file: string; line: number } | null }[] }).errors ?? []
    const where = first?.location ? `${first.location.file}:${first.location.line}: ` : ''
    const reason = first === undefined ? (cause as Error).message : `${where}${first.text}`
    throw new PluginError('ERR_STORE_IO', { subject: entry, reason, remedy: 'Correct it and try again.' }, { cause })
  }
}
