// What runs this process, for those who ask a plugin about itself.

/** E.g. `node 20.20.2`. */
export function runtimeName(): string {
  const { versions } = process
  if (versions['bun'] !== undefined) return `bun ${versions['bun']}`
  if (versions['deno'] !== undefined) return `deno ${versions['deno']}`
  return `node ${versions.node}`
}
