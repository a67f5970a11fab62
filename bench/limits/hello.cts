// A plugin that can do nothing: it opens descriptor 3, says one byte and stays until its host is gone.
// CommonJS and without an import, because an ES module costs a few milliseconds more: this is the floor.
{
  const { Socket } = process.getBuiltinModule('node:net')
  const memory = Buffer.alloc(65_536)
  const socket = new Socket({ fd: 3, onread: { buffer: memory, callback: () => true } } as object)
  socket.on('end', () => process.exit()).resume()
  socket.write('h')
}
