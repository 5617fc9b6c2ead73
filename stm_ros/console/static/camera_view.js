// Copyright 2026 stm_ros contributors
// SPDX-License-Identifier: Apache-2.0
//
// The live picture of a stream with what was found drawn over it, and the drawing of a new
// reference: a box, clicks and brush strokes over a frozen frame. Coordinates are pixels of the
// source image. The newest view is asked for when the last one is drawn, so a slow browser gets
// fewer, never older ones.

import {
  drawBox, drawCursor, drawDraft, drawTargets, loadPicture, newCanvas, outlinePath, unpack,
} from '/static/drawing.js';

const MOST_MARKS = 200;
const STEP = 8;

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export default {
  template: `
    <div class="camera" :class="{ 'camera-tile': tile, 'camera-drafting': drafting }">
      <canvas ref="canvas" :tabindex="tile ? -1 : 0" role="application" :aria-label="title"
        :style="{ touchAction: tool === 'look' ? 'auto' : 'none',
                  cursor: tool === 'look' ? 'default' : 'crosshair' }"
        @pointerdown="down" @pointermove="move" @pointerup="up" @pointercancel="up"
        @pointerleave="leave" @keydown="key" @contextmenu.prevent></canvas>
      <div v-if="drafting" class="camera-badge"><span></span>Frozen: the node goes on</div>
      <div v-else-if="unanswered && !tile" class="camera-badge camera-unanswered"><span></span>
        No answer for this picture yet</div>
      <div v-if="waiting" class="camera-waiting">{{ waiting }}</div>
    </div>`,
  props: {
    stream: String,
    tile: Boolean,
    picked: Number,
    tool: String,
    brush: Number,
  },
  data: () => ({ drafting: false, unanswered: false, waiting: 'Waiting for a picture' }),
  computed: {
    title() {
      return `Camera ${this.stream}. Arrow keys move the cursor, space marks, Enter accepts, Escape cancels.`;
    },
  },
  watch: {
    stream() {
      this.frame = null;
      this.sequence = 0;
      this.waiting = 'Waiting for a picture';
    },
    picked() { this.draw(); },
    tool() { this.corner = null; this.draw(); },
  },
  created() {
    Object.assign(this, { frame: null, sequence: 0, draft: null, corner: null, cursor: null,
                          stroke: null, ended: false, request: 0 });
  },
  mounted() {
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.$refs.canvas);
    this.shortcut = (event) => this.globalKey(event);
    if (!this.tile) window.addEventListener('keydown', this.shortcut);
    this.loop();
  },
  beforeUnmount() {
    this.ended = true;
    this.observer.disconnect();
    window.removeEventListener('keydown', this.shortcut);
  },
  methods: {
    async loop() {
      while (!this.ended) {
        const stream = this.stream;
        try {
          if (document.hidden || !stream) {
            await wait(300);
            continue;
          }
          for (let i = 0; i < 15 && this.draft; i += 1) await wait(100);
          const response = await fetch(`/view/${encodeURIComponent(stream)}?after=${this.sequence}`,
                                       { cache: 'no-store' });
          if (response.status === 200) {
            const frame = await unpack(response);
            if (stream === this.stream && !this.draft) this.show(frame);
          } else if (response.status !== 204) {
            await wait(1000);
          }
        } catch (error) {
          await wait(1000);
        }
      }
    },
    show(frame) {
      if (this.frame) this.frame.picture.close();
      this.frame = frame;
      this.sequence = frame.sequence;
      this.waiting = '';
      this.unanswered = !frame.answered;
      this.$el.style.setProperty('--aspect', frame.width / frame.height);
      this.draw();
    },

    // ---- drawing -------------------------------------------------------------------------
    draw() {
      const frame = this.draft ? this.draft.frame : this.frame;
      const canvas = this.$refs.canvas;
      if (!frame || !canvas || !canvas.clientWidth) return;
      const ratio = window.devicePixelRatio || 1;
      const width = Math.round(canvas.clientWidth * ratio);
      const height = Math.round((width * frame.height) / frame.width);
      if (canvas.width !== width) canvas.width = width;
      if (canvas.height !== height) canvas.height = height;
      const context = canvas.getContext('2d');
      const scale = width / frame.width;
      context.drawImage(frame.picture, 0, 0, width, height);
      if (this.draft) drawDraft(context, this.draft, scale, ratio);
      else drawTargets(context, frame, this.picked, !this.tile, scale, ratio);
      if (!this.cursor || this.tool === 'look') return;
      if (this.corner) drawBox(context, this.boxTo(this.cursor), scale, ratio);
      const isBrush = this.tool === 'brush' || this.tool === 'erase';
      drawCursor(context, this.cursor, isBrush ? this.brush : 0, scale, ratio);
    },

    // ---- drafting ------------------------------------------------------------------------
    begin(frame, colour) {
      this.draft = { frame, colour, marks: [], start: null, proposal: null,
                     mask: newCanvas(frame.width, frame.height) };
      this.drafting = true;
    },
    async correct(sequence, url, colour) {
      const response = await fetch(
        `/view/${encodeURIComponent(this.stream)}?sequence=${sequence}`, { cache: 'no-store' });
      if (response.status !== 200) return false;
      this.begin(await unpack(response), colour);
      this.draft.start = await loadPicture(url);
      this.paint();
      return true;
    },
    async setMask(url, request) {
      if (!this.draft || request !== this.request) return;
      this.draft.proposal = url ? await loadPicture(url) : null;
      this.paint();
    },
    endDraft() {
      if (this.draft && !this.frame) {
        // shown until a newer one comes, but too old to begin anything on
        this.frame = { ...this.draft.frame, stale: true };
        this.sequence = 0;
      }
      this.draft = this.corner = this.stroke = null;
      this.drafting = false;
      this.draw();
    },
    exportMask() {
      return this.draft ? this.draft.mask.toDataURL('image/png') : '';
    },
    paint() {
      const { mask, proposal, start, marks } = this.draft;
      const context = mask.getContext('2d');
      context.clearRect(0, 0, mask.width, mask.height);
      if (proposal || start) context.drawImage(proposal || start, 0, 0);
      context.lineCap = context.lineJoin = 'round';
      for (const mark of marks) {
        if (mark.kind !== 'stroke') continue;
        context.globalCompositeOperation = mark.on ? 'source-over' : 'destination-out';
        context.lineWidth = 2 * mark.radius;
        context.strokeStyle = context.fillStyle = '#fff';
        // a line of one point is not drawn, a dot is
        context.beginPath();
        context.arc(...mark.path[0], mark.radius, 0, 2 * Math.PI);
        context.fill();
        context.beginPath();
        context.moveTo(...mark.path[0]);
        for (const point of mark.path.slice(1)) context.lineTo(...point);
        context.stroke();
      }
      context.globalCompositeOperation = 'source-over';
      this.draw();
    },
    propose() {
      const marks = this.draft.marks;
      const boxes = marks.filter((mark) => mark.kind === 'box');
      const points = marks.filter((mark) => mark.kind === 'point')
        .map(({ x, y, on }) => [x, y, on]);
      const box = boxes.length ? boxes[boxes.length - 1].box : null;
      this.request += 1;
      if (!box && !points.length) {
        this.draft.proposal = null;
        this.paint();
      }
      this.$emit('prompt', { box, points, request: this.request });
    },
    add(mark) {
      const marks = this.draft.marks;
      if (marks.length >= MOST_MARKS) return;
      if (mark.kind === 'box') this.draft.marks = marks.filter((each) => each.kind !== 'box');
      this.draft.marks.push(mark);
      if (mark.kind === 'stroke') this.$emit('painted', {});
      else this.propose();
      this.draw();
    },
    undo() {
      if (!this.draft || !this.draft.marks.length) return;
      const mark = this.draft.marks.pop();
      if (mark.kind === 'stroke') this.paint();
      else this.propose();
    },
    boxTo(point) {
      const { x, y } = this.corner;
      return [Math.min(x, point.x), Math.min(y, point.y),
              Math.abs(x - point.x), Math.abs(y - point.y)];
    },
    finishBox(point) {
      const box = this.boxTo(point);
      this.corner = null;
      if (box[2] >= 4 && box[3] >= 4) this.add({ kind: 'box', box });
      else this.draw();
    },
    dab(point, on) {
      this.stroke = { kind: 'stroke', on, radius: this.brush, path: [[point.x, point.y]] };
    },

    // ---- pointer and keys ----------------------------------------------------------------
    place(event) {
      const canvas = this.$refs.canvas;
      const frame = this.draft ? this.draft.frame : this.frame;
      const bounded = (value, most) => Math.min(Math.max(value, 0), most);
      return {
        x: bounded((event.offsetX / canvas.clientWidth) * frame.width, frame.width),
        y: bounded((event.offsetY / canvas.clientHeight) * frame.height, frame.height),
      };
    },
    canMark() {
      return this.draft || (this.frame && !this.frame.stale);
    },
    start() {
      if (this.draft) return;
      this.begin(this.frame, '#22d3ee');
      this.frame = null;
      this.$emit('begin', { sequence: this.draft.frame.sequence });
    },
    down(event) {
      if (this.tile) {
        this.$emit('choose', {});
        return;
      }
      if (!this.canMark()) return;
      const point = this.place(event);
      if (this.tool === 'look') {
        if (!this.draft) this.pick(point);
        return;
      }
      this.$refs.canvas.setPointerCapture(event.pointerId);
      this.start();
      this.cursor = point;
      const isSecond = event.button === 2 || event.shiftKey;
      if (this.tool === 'box') this.corner = point;
      else if (this.tool === 'plus' || this.tool === 'minus') {
        this.add({ kind: 'point', ...point, on: (this.tool === 'plus') !== isSecond });
      } else {
        this.dab(point, (this.tool === 'brush') !== isSecond);
        this.draft.marks.push(this.stroke);
        this.paint();
      }
    },
    move(event) {
      if (this.tile || this.tool === 'look' || (!this.frame && !this.draft)) return;
      this.cursor = this.place(event);
      if (this.stroke) {
        for (const each of event.getCoalescedEvents?.() ?? [event]) {
          const point = this.place(each);
          this.stroke.path.push([point.x, point.y]);
        }
        this.paint();
      } else {
        this.draw();
      }
    },
    up(event) {
      if (!this.draft) return;
      if (this.corner) this.finishBox(this.place(event));
      if (this.stroke) {
        this.draft.marks.pop();
        const stroke = this.stroke;
        this.stroke = null;
        this.add(stroke);
        this.paint();
      }
    },
    leave() {
      if (this.stroke || this.corner) return;
      this.cursor = null;
      this.draw();
    },
    pick(point) {
      const context = this.$refs.canvas.getContext('2d');
      const hit = this.frame.targets.find((target) => context.isPointInPath(
        outlinePath(target.outlines, 1), point.x, point.y, 'evenodd'));
      if (hit) this.$emit('pick', { id: hit.id });
    },
    key(event) {
      if (this.tile || this.tool === 'look' || (!this.frame && !this.draft)) return;
      const frame = this.draft ? this.draft.frame : this.frame;
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const cursor = this.cursor || { x: frame.width / 2, y: frame.height / 2 };
      if (moves[event.key]) {
        const step = event.shiftKey ? 1 : STEP;
        const [right, down] = moves[event.key];
        this.cursor = { x: Math.min(Math.max(cursor.x + right * step, 0), frame.width),
                        y: Math.min(Math.max(cursor.y + down * step, 0), frame.height) };
        this.draw();
      } else if (event.key === ' ') {
        this.cursor = cursor;
        this.mark(cursor);
      } else if (event.key === 'Enter' && this.draft) {
        this.$emit('accept', {});
      } else {
        return;
      }
      event.preventDefault();
    },
    mark(point) {
      if (!this.canMark()) return;
      this.start();
      if (this.tool === 'box') {
        if (this.corner) this.finishBox(point);
        else this.corner = point;
      } else if (this.tool === 'plus' || this.tool === 'minus') {
        this.add({ kind: 'point', ...point, on: this.tool === 'plus' });
      } else {
        this.dab(point, this.tool === 'brush');
        const stroke = this.stroke;
        this.stroke = null;
        this.add(stroke);
        this.paint();
      }
    },
    globalKey(event) {
      const at = event.target;
      const isTyping = at.closest?.('input, textarea, select, [contenteditable], .q-dialog');
      if (isTyping || event.metaKey || event.altKey) return;
      if (event.ctrlKey) {
        if (event.key !== 'z' || !this.draft) return;
        // the browser would undo what was typed into the name
        event.preventDefault();
        this.undo();
        return;
      }
      if (/^[a-z0-9?[\]]$/.test(event.key) || event.key === 'Escape') {
        this.$emit('shortcut', { key: event.key });
      }
    },
  },
};
