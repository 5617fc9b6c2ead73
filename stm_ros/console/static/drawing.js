// Copyright 2026 stm_ros contributors
// SPDX-License-Identifier: Apache-2.0
//
// What is drawn over a picture: targets as the node found them, a draft as a person marks it.
// `scale`: pixels of the canvas for one of the source image; `ratio`: for one of the page.

export async function unpack(response) {
  const data = await response.arrayBuffer();
  const length = new DataView(data).getUint32(0);
  const about = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const jpeg = new Blob([new Uint8Array(data, 4 + length)], { type: 'image/jpeg' });
  return { ...about, picture: await createImageBitmap(jpeg) };
}

export function outlinePath(outlines, scale) {
  const path = new Path2D();
  for (const points of outlines) {
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = [(points[i] + 0.5) * scale, (points[i + 1] + 0.5) * scale];
      if (i === 0) path.moveTo(x, y);
      else path.lineTo(x, y);
    }
    path.closePath();
  }
  return path;
}

function inkOn(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? '#000' : '#fff';
}

export function newCanvas(width, height) {
  return Object.assign(document.createElement('canvas'), { width, height });
}

export function loadPicture(url) {
  return new Promise((done, failed) => {
    const picture = new Image();
    picture.onload = () => done(picture);
    picture.onerror = failed;
    picture.src = url;
  });
}

export function drawTargets(context, frame, picked, isNamed, scale, ratio) {
  for (const target of frame.targets) {
    const path = outlinePath(target.outlines, scale);
    context.globalAlpha = target.state === 'TRACKING' ? 0.38 : 0.22;
    context.fillStyle = target.colour;
    context.fill(path, 'evenodd');
    context.globalAlpha = 1;
    context.strokeStyle = target.colour;
    context.lineWidth = (target.id === picked ? 2.5 : 1.5) * ratio;
    context.stroke(path);
  }
  if (isNamed) drawNames(context, frame, scale, ratio);
}

function drawNames(context, frame, scale, ratio) {
  let lost = 0;
  for (const target of frame.targets) {
    const text = `${target.name}  ${target.confidence.toFixed(2)}`;
    if (!target.box) {
      drawChip(context, `${target.name}  lost`, target.colour, ratio, 8 * ratio,
               context.canvas.height - (8 + 24 * lost) * ratio, true);
      lost += 1;
      continue;
    }
    const [x, y, width, height] = target.box.map((value) => value * scale);
    context.setLineDash(target.state === 'TRACKING' ? [] : [6 * ratio, 4 * ratio]);
    context.strokeStyle = target.colour;
    context.lineWidth = 1 * ratio;
    context.strokeRect(x, y, width, height);
    context.setLineDash([]);
    const note = target.state === 'UNCERTAIN' ? `${text}  uncertain` : text;
    drawChip(context, note, target.colour, ratio, x, Math.max(y, 22 * ratio), false);
  }
}

function drawChip(context, text, colour, ratio, x, bottom, rounded) {
  context.font = `500 ${12 * ratio}px Roboto, system-ui, sans-serif`;
  const wide = context.measureText(text).width + 12 * ratio;
  const left = Math.min(Math.max(x, 0), Math.max(0, context.canvas.width - wide));
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(left, bottom - 20 * ratio, wide, 20 * ratio,
                    rounded ? 4 * ratio : [4 * ratio, 4 * ratio, 4 * ratio, 0]);
  context.fill();
  context.fillStyle = inkOn(colour);
  context.fillText(text, left + 6 * ratio, bottom - 6 * ratio);
}

export function drawDraft(context, { mask, marks, colour }, scale, ratio) {
  const { width, height } = context.canvas;
  const tint = newCanvas(width, height);
  const tinted = tint.getContext('2d');
  tinted.drawImage(mask, 0, 0, width, height);
  tinted.globalCompositeOperation = 'source-in';
  tinted.fillStyle = colour;
  tinted.fillRect(0, 0, width, height);
  context.fillStyle = 'rgb(0 0 0 / 25%)';
  context.fillRect(0, 0, width, height);
  context.globalAlpha = 0.6;
  context.filter = `drop-shadow(0 0 ${ratio}px #fff)`;
  context.drawImage(tint, 0, 0);
  context.filter = 'none';
  context.globalAlpha = 1;
  for (const mark of marks) {
    if (mark.kind === 'box') drawBox(context, mark.box, scale, ratio);
    if (mark.kind === 'point') drawPoint(context, mark, scale, ratio);
  }
}

export function drawBox(context, box, scale, ratio) {
  const [x, y, width, height] = box.map((value) => value * scale);
  for (const [style, dash] of [['#000', []], ['#fff', [6 * ratio, 5 * ratio]]]) {
    context.setLineDash(dash);
    context.strokeStyle = style;
    context.lineWidth = 1.5 * ratio;
    context.strokeRect(x, y, width, height);
  }
  context.setLineDash([]);
}

function drawPoint(context, point, scale, ratio) {
  const [x, y, radius] = [point.x * scale, point.y * scale, 8 * ratio];
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = point.on ? '#16a34a' : '#dc2626';
  context.fill();
  context.strokeStyle = '#fff';
  context.lineWidth = 2 * ratio;
  context.stroke();
  context.beginPath();
  context.moveTo(x - radius / 2, y);
  context.lineTo(x + radius / 2, y);
  if (point.on) {
    context.moveTo(x, y - radius / 2);
    context.lineTo(x, y + radius / 2);
  }
  context.stroke();
}

export function drawCursor(context, { x, y }, brush, scale, ratio) {
  const isBrush = brush > 0;
  const radius = isBrush ? brush * scale : 7 * ratio;
  for (const [style, width] of [['rgb(0 0 0 / 60%)', 3], ['#fff', 1.25]]) {
    context.strokeStyle = style;
    context.lineWidth = width * ratio;
    context.beginPath();
    if (isBrush) {
      context.arc(x * scale, y * scale, radius, 0, 2 * Math.PI);
    } else {
      context.moveTo(x * scale - radius, y * scale);
      context.lineTo(x * scale + radius, y * scale);
      context.moveTo(x * scale, y * scale - radius);
      context.lineTo(x * scale, y * scale + radius);
    }
    context.stroke();
  }
}
