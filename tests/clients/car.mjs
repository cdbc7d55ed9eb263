// What `@ipld/car` makes of a CAR file, and what it writes itself. Run by ../clients.sh:
//   car.mjs check FILE            reads it, checks every block's hash, prints roots and blocks
//   car.mjs rewrite FROM TO       reads FROM, writes the same roots and blocks to TO
//   car.mjs depth-first FROM TO   the same, blocks in the order of their links, each once
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CarBlockIterator, CarWriter } from '@ipld/car'
import * as dagPb from '@ipld/dag-pb'

const [verb, from, to] = process.argv.slice(2)

async function write (roots, blocks) {
  const { writer, out } = CarWriter.create(roots)
  const written = pipeline(Readable.from(out), createWriteStream(to))
  for await (const block of blocks) await writer.put(block)
  await writer.close()
  await written
}

async function * depthFirst (roots, blocks) {
  const byCid = new Map()
  for await (const block of blocks) byCid.set(block.cid.toString(), block)
  const pending = [...roots]
  while (pending.length > 0) {
    const cid = pending.shift()
    const block = byCid.get(cid.toString())
    if (block === undefined) continue
    byCid.delete(cid.toString())
    yield block
    if (cid.code === dagPb.code) pending.unshift(...dagPb.decode(block.bytes).Links.map(link => link.Hash))
  }
}

const blocks = await CarBlockIterator.fromIterable(createReadStream(from))
const roots = await blocks.getRoots()
if (verb === 'check') {
  let count = 0
  for await (const { cid, bytes } of blocks) {
    const digest = createHash('sha256').update(bytes).digest()
    if (!digest.equals(cid.multihash.digest)) throw new Error(`${cid} is corrupt`)
    count++
  }
  console.log(`version ${blocks.version}, roots ${roots.join(' ')}, ${count} blocks, all right`)
} else if (verb === 'rewrite') {
  await write(roots, blocks)
} else {
  await write(roots, depthFirst(roots, blocks))
}
