// Where one looks from. Axes are OpenCV's (x right, y down, z forward); a view turns about its target without other state.
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const add = (a, b, s = 1) => [a[0] + s * b[0], a[1] + s * b[1], a[2] + s * b[2]];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const unit = (a) => { const n = Math.hypot(...a) || 1; return a.map((v) => v / n); };

// Rodrigues' rotation of `v` about the unit vector `axis`.
function rotated(v, axis, angle) {
  const c = Math.cos(angle), s = Math.sin(angle);
  return add(add(v.map((x) => x * c), cross(axis, v), s), axis, dot(axis, v) * (1 - c));
}

class View {
  constructor(camera, centre, up) {
    this.up = unit(up);
    this.show(camera, centre);
  }

  // Take over a camera {pose: rows of world_from_cam (3 x 4), fx, fy, cx, cy, w, h}; turn about the point before it
  // that is nearest to `centre`.
  show(camera, centre) {
    const p = camera.pose;
    this.lens = camera;
    this.right = unit([p[0][0], p[1][0], p[2][0]]);
    this.down = unit([p[0][1], p[1][1], p[2][1]]);
    this.forward = unit([p[0][2], p[1][2], p[2][2]]);
    this.eye = [p[0][3], p[1][3], p[2][3]];
    const ahead = dot(add(centre, this.eye, -1), this.forward);
    const away = Math.hypot(...add(centre, this.eye, -1));
    this.target = add(this.eye, this.forward, ahead > 0.1 * away ? ahead : Math.max(away, 1e-3));
  }

  get distance() { return Math.hypot(...add(this.target, this.eye, -1)); }

  // Radians about the up axis and towards it; never over a pole.
  turn(yaw, pitch) {
    const polar = Math.acos(Math.max(-1, Math.min(1, dot(this.forward, this.up))));
    const side = cross(this.forward, this.up);
    const free = Math.max(Math.min(pitch, polar - 0.02), polar - Math.PI + 0.02);
    this.#spin(this.up, yaw);
    if (Math.hypot(...side) > 1e-4) this.#spin(rotated(unit(side), this.up, yaw), free);
  }

  #spin(axis, angle) {
    for (const name of ["right", "down", "forward"]) this[name] = rotated(this[name], axis, angle);
    this.eye = add(this.target, rotated(add(this.eye, this.target, -1), axis, angle));
  }

  zoom(factor) {
    this.eye = add(this.target, add(this.eye, this.target, -1), factor);
  }

  // Move with the scene: by CSS pixels of a stage of the given size.
  pan(dx, dy, width, height) {
    const unitsAPixel = this.distance / this.pinhole(width, height).focal[0];
    const shift = add(this.right.map((v) => -v * dx * unitsAPixel), this.down, -dy * unitsAPixel);
    this.eye = add(this.eye, shift);
    this.target = add(this.target, shift);
  }

  // Focal lengths and principal point in pixels, with the camera's whole picture in the middle of the stage.
  pinhole(width, height) {
    const { fx, fy, cx, cy, w, h } = this.lens;
    const scale = Math.min(width / w, height / h);
    return {
      focal: [fx * scale, fy * scale],
      middle: [width / 2 + (cx - w / 2) * scale, height / 2 + (cy - h / 2) * scale],
    };
  }
}
