// `plugwire/program`: for programs that carry their plugins in themselves.

export { carried, main, type ProgramPlugins } from './program.ts'
