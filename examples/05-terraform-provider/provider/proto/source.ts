// Where the protocols stand: as files beside this one or, in a bundle, as text in it.

import { existsSync } from 'node:fs'

/** Put in its place by the bundler (bundle.ts): the files by their version. */
declare const TFPLUGIN: { readonly 5: string; readonly 6: string } | undefined

/** What `proto` of @plugwire/grpc takes. */
export function protocolSource(version: 5 | 6): string | URL {
  return typeof TFPLUGIN === 'undefined' ? fileBeside(`tfplugin${version}.proto`) : TFPLUGIN[version]
}

/**
 * The compiler leaves the files where they are. What it makes lies under the same path but for one directory: `build/` or `dist/` is in it, or stands there
 * for `src/`. So this works wherever this directory is copied to.
 */
function fileBeside(name: string): URL {
  const here = new URL(name, import.meta.url)
  const steps = here.pathname.split('/')
  for (let last = steps.length - 2; last > 0; last--) {
    for (const source of [[steps[last] ?? ''], [], ['src']]) {
      const file = new URL(here)
      file.pathname = steps.toSpliced(last, 1, ...source).join('/')
      if (existsSync(file)) return file
    }
  }
  return here
}
