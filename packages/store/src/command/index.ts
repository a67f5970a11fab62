// `@plugwire/store/command`: what a plugin imports that is a command of some program. Nothing of the store comes with it.

export { type CommandLine, command, type Terminal } from './contract.ts'
