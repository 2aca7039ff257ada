// Uploads a file with tus-js-client: node upload.js ENDPOINT TOKEN FILE CHUNK_BYTES [UPLOAD_URL]
// Prints the address of the upload as soon as it is known, then "progress N", and "done".
import fs from 'node:fs'
import { Upload } from 'tus-js-client'

const [endpoint, token, path, chunk, known] = process.argv.slice(2)
const upload = new Upload(fs.createReadStream(path), {
  endpoint,
  uploadUrl: known || null,
  uploadSize: fs.statSync(path).size,
  chunkSize: Number(chunk),
  headers: { 'X-Auth-Token': token },
  retryDelays: [100, 200, 400, 800, 1600, 3200, 3200, 3200],
  metadata: { filename: 'disk.raw' },
  onUploadUrlAvailable: () => console.log(`url ${upload.url}`),
  onChunkComplete: (_, sent) => console.log(`progress ${sent}`),
  onError: (error) => { console.error(String(error)); process.exit(1) },
  onSuccess: () => { console.log('done'); process.exit(0) },
})
upload.start()
