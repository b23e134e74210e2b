// Splats as they lie in the page, five little-endian 32-bit words each (export/packed_splats.py packs them):
//   words 0, 1: position, 21 bits an axis between `low` and `high`;  word 2: logarithms of the three scales, 10 bits each
//   between `logScale[0]` and `logScale[1]`;  word 3: quaternion, the place of its largest component (2 bits) and the
//   three others, 10 bits each;  word 4: red, green, blue, opacity, 8 bits each.
// Behind them all are the harmonics, one texel of four words for each degree and splat: bytes, 127 for 0, and 0 and 254
// for the largest of the degree.
const TEXELS = 3; // of the data texture for a splat
const SPLATS_A_ROW = 512; // so a row has 1536 texels, and 2048 rows (WebGL 2's least) hold a million splats

function bytesOfBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// The texels of the harmonics, filled up to whole rows.
function harmonicTexels(scene, words) {
  const perSplat = 4 * scene.degree;
  const texels = new Uint32Array(Math.max(1, Math.ceil(scene.count / SPLATS_A_ROW)) * SPLATS_A_ROW * perSplat);
  texels.set(words.subarray(scene.count * 5, scene.count * (5 + perSplat)));
  return texels;
}

// Centres for sorting, and texels (centre, colour | covariance: xx xy xz yy yz zz) for the vertex shader.
function decodeSplats(scene, words) {
  const { count, low, high, logScale } = scene;
  const rows = Math.max(1, Math.ceil(count / SPLATS_A_ROW));
  const texels = new Uint32Array(rows * SPLATS_A_ROW * TEXELS * 4);
  const floats = new Float32Array(texels.buffer);
  const centres = new Float32Array(count * 3);
  const step = low.map((v, k) => (high[k] - v) / 2097151);
  const exponent = (bits) => Math.exp(2 * (logScale[0] + (bits & 1023) / 1023 * (logScale[1] - logScale[0])));
  const q = new Float64Array(4), axes = new Float64Array(9); // a splat's rotation, its three axes one after another
  for (let i = 0; i < count; i++) {
    const a = words[i * 5], b = words[i * 5 + 1], s = words[i * 5 + 2], turn = words[i * 5 + 3];
    const at = i * TEXELS * 4;
    centres[i * 3] = low[0] + (a & 2097151) * step[0];
    centres[i * 3 + 1] = low[1] + ((a >>> 21) | ((b & 1023) << 11)) * step[1];
    centres[i * 3 + 2] = low[2] + ((b >>> 10) & 2097151) * step[2];
    for (let k = 0; k < 3; k++) floats[at + k] = centres[i * 3 + k];
    texels[at + 3] = words[i * 5 + 4];

    const largest = turn >>> 30;
    let rest = 1;
    for (let k = 0, place = 0; k < 4; k++) {
      if (k === largest) continue;
      q[k] = (((turn >>> (10 * place++)) & 1023) / 1023 * 2 - 1) * Math.SQRT1_2;
      rest -= q[k] * q[k];
    }
    q[largest] = Math.sqrt(Math.max(rest, 0));
    const w = q[0], x = q[1], y = q[2], z = q[3];
    axes[0] = 1 - 2 * (y * y + z * z), axes[1] = 2 * (x * y + w * z), axes[2] = 2 * (x * z - w * y);
    axes[3] = 2 * (x * y - w * z), axes[4] = 1 - 2 * (x * x + z * z), axes[5] = 2 * (y * z + w * x);
    axes[6] = 2 * (x * z + w * y), axes[7] = 2 * (y * z - w * x), axes[8] = 1 - 2 * (x * x + y * y);
    for (let k = 0; k < 3; k++) {
      const variance = exponent(s >>> (10 * k));
      const u = axes[3 * k], v = axes[3 * k + 1], t = axes[3 * k + 2];
      floats[at + 4] += variance * u * u;
      floats[at + 5] += variance * u * v;
      floats[at + 6] += variance * u * t;
      floats[at + 7] += variance * v * v;
      floats[at + 8] += variance * v * t;
      floats[at + 9] += variance * t * t;
    }
  }
  return { count, rows, centres, texels, harmonics: harmonicTexels(scene, words) };
}
