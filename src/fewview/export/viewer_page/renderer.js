// EWA splatting in WebGL 2 with the rules of fewview's own renderer (fewview/render/splatting.py): footprints widened by
// 0.3 square pixels, alpha at most 0.999, nothing below 1/255. Each splat is a quad around its ellipse; an instance is a
// batch of quads, for software WebGL pays some 90 microseconds for every instance.
const NEAR = 0.01; // world units
const BATCH = 1024; // quads; also the width of the texture that holds the order

// Colours in a direction from the eye: real spherical harmonics as fewview/geometry/harmonics.py has them.
const HARMONICS = `
uniform usampler2D harmonics;
uniform vec2 colours;
uniform vec3 limits;
uint held[4 * DEGREE];
float one(int j) { return float((held[j >> 2] >> (8 * (j & 3))) & 255u) / 127.0 - 1.0; }
vec3 h(int k) { return vec3(one(3 * k), one(3 * k + 1), one(3 * k + 2)); }
vec3 seen(vec3 share, vec3 direction, uint index) {
  ivec2 at = ivec2(int(index % ${SPLATS_A_ROW}u) * DEGREE, int(index / ${SPLATS_A_ROW}u));
  for (int k = 0; k < DEGREE; k++) {
    uvec4 texel = texelFetch(harmonics, at + ivec2(k, 0), 0);
    held[4 * k] = texel.x; held[4 * k + 1] = texel.y; held[4 * k + 2] = texel.z; held[4 * k + 3] = texel.w;
  }
  float x = direction.x, y = direction.y, z = direction.z;
  vec3 sum = limits.x * 0.4886025119029199 * (z * h(1) - y * h(0) - x * h(2));
#if DEGREE > 1
  float xx = x * x, yy = y * y, zz = z * z;
  sum += limits.y * (1.0925484305920792 * (x * y * h(3) - y * z * h(4) - x * z * h(6))
    + 0.31539156525252005 * (2.0 * zz - xx - yy) * h(5) + 0.5462742152960396 * (xx - yy) * h(7));
#endif
#if DEGREE > 2
  sum += limits.z * (-0.5900435899266435 * (y * (3.0 * xx - yy) * h(8) + x * (xx - 3.0 * yy) * h(14))
    + 2.890611442640554 * x * y * z * h(9)
    - 0.4570457994644658 * (4.0 * zz - xx - yy) * (y * h(10) + x * h(12))
    + 0.3731763325901154 * z * (2.0 * zz - 3.0 * xx - 3.0 * yy) * h(11)
    + 1.445305721320277 * z * (xx - yy) * h(13));
#endif
  return max(mix(vec3(colours.x), vec3(colours.y), share) + sum, 0.0);
}`;

const splatVertex = (degree) => `#version 300 es
#define DEGREE ${degree}
precision highp float; precision highp int; precision highp usampler2D;
${degree ? HARMONICS : ""}
uniform usampler2D splats, order;
uniform uint count;
uniform mat3 camFromWorld;
uniform vec3 eye;
uniform vec2 focal, middle, size;
uniform bool antialiased;
out vec2 place;
flat out vec4 colour;
void main() {
  gl_Position = vec4(0.0, 0.0, 2.0, 1.0); // outside, unless we get to the end
  uint rank = uint(gl_InstanceID) * ${BATCH}u + uint(gl_VertexID >> 2);
  if (rank >= count) return;
  uint index = texelFetch(order, ivec2(rank % ${BATCH}u, rank / ${BATCH}u), 0).x;
  ivec2 at = ivec2(int(index % ${SPLATS_A_ROW}u) * ${TEXELS}, int(index / ${SPLATS_A_ROW}u));
  uvec4 first = texelFetch(splats, at, 0);
  vec3 p = camFromWorld * (uintBitsToFloat(first.xyz) - eye);
  if (p.z <= ${NEAR}) return;
  vec4 c0 = uintBitsToFloat(texelFetch(splats, at + ivec2(1, 0), 0));
  vec2 c1 = uintBitsToFloat(texelFetch(splats, at + ivec2(2, 0), 0)).xy;
  mat3 covariance = mat3(c0.x, c0.y, c0.z, c0.y, c0.w, c1.x, c0.z, c1.x, c1.y);

  vec2 slope = p.xy / p.z;
  vec2 margin = 0.15 * size / focal;
  vec2 held = clamp(slope, -middle / focal - margin, (size - middle) / focal + margin);
  vec3 alongX = vec3(focal.x, 0.0, -focal.x * held.x) / p.z * camFromWorld;
  vec3 alongY = vec3(0.0, focal.y, -focal.y * held.y) / p.z * camFromWorld;
  float xx = dot(alongX, covariance * alongX), yy = dot(alongY, covariance * alongY);
  float xy = dot(alongX, covariance * alongY);
  float wideX = xx + 0.3, wideY = yy + 0.3;
  uint rgba = first.w;
  colour = vec4(rgba & 255u, (rgba >> 8) & 255u, (rgba >> 16) & 255u, rgba >> 24) / 255.0;
  if (antialiased) colour.a *= sqrt(max((xx * yy - xy * xy) / (wideX * wideY - xy * xy), 1e-12));
  if (colour.a < 1.0 / 255.0) return;
#if DEGREE > 0
  colour.rgb = seen(colour.rgb, normalize(uintBitsToFloat(first.xyz) - eye), index);
#endif

  float mean = 0.5 * (wideX + wideY), spread = length(vec2(0.5 * (wideX - wideY), xy));
  vec2 longAxis = spread < 1e-6 * mean ? vec2(1.0, 0.0) : normalize(
    wideX > wideY ? vec2(0.5 * (wideX - wideY) + spread, xy) : vec2(xy, 0.5 * (wideY - wideX) + spread));
  float reach = sqrt(2.0 * log(255.0 * colour.a));
  place = reach * vec2(gl_VertexID & 1, (gl_VertexID >> 1) & 1) * 2.0 - reach;
  vec2 offset = place.x * sqrt(mean + spread) * longAxis
    + place.y * sqrt(max(mean - spread, 0.0)) * vec2(-longAxis.y, longAxis.x);
  vec2 onImage = (slope * focal + middle + offset) / size * 2.0 - 1.0;
  gl_Position = vec4(onImage.x, -onImage.y, 0.0, 1.0);
}`;

const SPLAT_FRAGMENT = `#version 300 es
precision highp float;
in vec2 place;
flat in vec4 colour;
out vec4 result;
void main() {
  float alpha = colour.a * exp(-0.5 * dot(place, place));
  if (alpha < 1.0 / 255.0) discard;
  alpha = min(alpha, 0.999);
  result = vec4(colour.rgb * alpha, alpha);
}`;

const LINE_VERTEX = `#version 300 es
precision highp float;
uniform mat3 camFromWorld;
uniform vec3 eye;
uniform vec2 focal, middle, size;
in vec3 point;
void main() {
  vec3 p = camFromWorld * (point - eye);
  gl_Position = vec4((p.xy * focal + p.z * middle) / size * 2.0 - p.z, p.z - 2.0 * ${NEAR}, p.z);
  gl_Position.y = -gl_Position.y;
}`;

const LINE_FRAGMENT = `#version 300 es
precision highp float;
uniform vec4 ink;
out vec4 result;
void main() { result = ink; }`;

class Renderer {
  // `scene` says whether splats are antialiased, and degree, limits and range of their colours.
  constructor(canvas, splats, scene) {
    const gl = canvas.getContext("webgl2", { antialias: false, depth: false, alpha: true, premultipliedAlpha: true });
    if (!gl) throw new Error("this browser has no WebGL 2");
    this.gl = gl;
    this.scene = scene;
    this.splatProgram = this.#program(splatVertex(scene.degree), SPLAT_FRAGMENT);
    this.lineProgram = this.#program(LINE_VERTEX, LINE_FRAGMENT);
    this.drawn = 0;
    this.#upload(splats);
    this.#quads();
    this.#points();
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  // Splats to draw, the first one first.
  setOrder(order) {
    const gl = this.gl, rows = Math.ceil(order.length / BATCH);
    this.drawn = order.length;
    this.padded.set(order);
    gl.activeTexture(gl.TEXTURE1);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, BATCH, rows, gl.RED_INTEGER, gl.UNSIGNED_INT, this.padded);
  }

  // `lines` are {points: Float32Array of ends, ink: premultiplied RGBA}, drawn over the splats.
  draw(view, lines = []) {
    const gl = this.gl, width = gl.drawingBufferWidth, height = gl.drawingBufferHeight;
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    this.#aim(this.splatProgram, view, width, height);
    gl.uniform1i(this.splatProgram.uniform("splats"), 0);
    gl.uniform1i(this.splatProgram.uniform("order"), 1);
    gl.uniform1ui(this.splatProgram.uniform("count"), this.drawn);
    gl.uniform1i(this.splatProgram.uniform("antialiased"), this.scene.antialiased);
    if (this.scene.degree) {
      gl.uniform1i(this.splatProgram.uniform("harmonics"), 2);
      gl.uniform2fv(this.splatProgram.uniform("colours"), this.scene.colours);
      gl.uniform3fv(this.splatProgram.uniform("limits"), [...this.scene.limits, 0, 0].slice(0, 3));
    }
    gl.bindVertexArray(this.quads);
    gl.drawElementsInstanced(gl.TRIANGLES, 6 * BATCH, gl.UNSIGNED_SHORT, 0, Math.ceil(this.drawn / BATCH));
    if (!lines.length) return;
    this.#aim(this.lineProgram, view, width, height);
    gl.bindVertexArray(this.lines);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.ends);
    for (const { points, ink } of lines) {
      gl.bufferData(gl.ARRAY_BUFFER, points, gl.DYNAMIC_DRAW);
      gl.uniform4fv(this.lineProgram.uniform("ink"), ink);
      gl.drawArrays(gl.LINES, 0, points.length / 3);
    }
  }

  // Waits until everything that was asked for is on the canvas.
  finish() {
    this.gl.readPixels(0, 0, 1, 1, this.gl.RGBA, this.gl.UNSIGNED_BYTE, new Uint8Array(4));
  }

  #aim(program, view, width, height) {
    const gl = this.gl, { focal, middle } = view.pinhole(width, height);
    const columns = [0, 1, 2].flatMap((k) => [view.right[k], view.down[k], view.forward[k]]);
    gl.useProgram(program.handle);
    gl.uniformMatrix3fv(program.uniform("camFromWorld"), false, columns);
    gl.uniform3fv(program.uniform("eye"), view.eye);
    gl.uniform2fv(program.uniform("focal"), focal);
    gl.uniform2fv(program.uniform("middle"), middle);
    gl.uniform2f(program.uniform("size"), width, height);
  }

  #upload({ count, rows, texels, harmonics }) {
    const gl = this.gl, orderRows = Math.ceil(count / BATCH);
    if (rows > gl.getParameter(gl.MAX_TEXTURE_SIZE)) throw new Error("this graphics card cannot hold so many splats");
    this.padded = new Uint32Array(orderRows * BATCH);
    this.#texture(gl.TEXTURE0);
    const width = SPLATS_A_ROW * TEXELS;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32UI, width, rows, 0, gl.RGBA_INTEGER, gl.UNSIGNED_INT, texels);
    if (this.scene.degree) {
      const across = SPLATS_A_ROW * this.scene.degree;
      this.#texture(gl.TEXTURE2);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32UI, across, rows, 0, gl.RGBA_INTEGER, gl.UNSIGNED_INT, harmonics);
    }
    this.#texture(gl.TEXTURE1);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32UI, BATCH, orderRows, 0, gl.RED_INTEGER, gl.UNSIGNED_INT, this.padded);
  }

  #texture(place) {
    const gl = this.gl;
    gl.activeTexture(place);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  }

  #quads() {
    const gl = this.gl, corners = new Uint16Array(6 * BATCH);
    for (let i = 0; i < BATCH; i++) corners.set([0, 1, 2, 2, 1, 3].map((k) => 4 * i + k), 6 * i);
    gl.bindVertexArray(this.quads = gl.createVertexArray());
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, corners, gl.STATIC_DRAW);
  }

  #points() {
    const gl = this.gl, place = gl.getAttribLocation(this.lineProgram.handle, "point");
    gl.bindVertexArray(this.lines = gl.createVertexArray());
    gl.bindBuffer(gl.ARRAY_BUFFER, this.ends = gl.createBuffer());
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 0, 0);
  }

  #program(vertex, fragment) {
    const gl = this.gl, handle = gl.createProgram(), places = new Map();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(handle, shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    }
    gl.linkProgram(handle);
    if (!gl.getProgramParameter(handle, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(handle));
    const uniform = (name) => {
      if (!places.has(name)) places.set(name, gl.getUniformLocation(handle, name));
      return places.get(name);
    };
    return { handle, uniform };
  }
}

// Ends of the eight edges of a camera's picture pyramid, `depth` world units deep.
function frustum({ pose, fx, fy, cx, cy, w, h }, depth) {
  const world = (x, y, z) => pose.map((row) => row[0] * x + row[1] * y + row[2] * z + row[3]);
  const corners = [[0, 0], [w, 0], [w, h], [0, h]].map(
    ([x, y]) => world((x - cx) / fx * depth, (y - cy) / fy * depth, depth));
  const eye = world(0, 0, 0);
  return corners.flatMap((corner, i) => [...eye, ...corner, ...corner, ...corners[(i + 1) % 4]]);
}
