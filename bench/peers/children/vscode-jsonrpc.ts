import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node'
import { handlers } from './handlers.ts'

const connection = createMessageConnection(new StreamMessageReader(process.stdin), new StreamMessageWriter(process.stdout))
connection.onRequest('echo', handlers.echo)
connection.onRequest('echo64', handlers.echo64)
connection.listen()
