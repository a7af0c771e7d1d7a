// The kernels of a GPU that CuPy's own operations would take several passes for.
//
// Each thread works out elements of its own, at a stride of the whole grid, and none waits for
// another, so that the same text also runs on a CPU, one thread doing all. T is float or double.
// Arrays are (batch, height, width, channels), contiguous; sums are CuPy's.

#define EACH(i, n)                                                            \
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;      \
         i < (n); i += (long long)gridDim.x * blockDim.x)

__device__ inline T sigmoid(T z) {
    // exp of what is not positive does not overflow.
    T small = exp(z < 0 ? z : -z);
    return (z < 0 ? small : (T)1) / ((T)1 + small);
}

// out[b, r, q, 3 u + v, c] = x[b, stride r + u - before, stride q + v - before, c], 0 outside of x.
extern "C" __global__ void windows(const T* x, T* out, long long n, int height, int width,
                                   int channels, int rows, int columns, int stride, int before) {
    EACH(i, n) {
        long long rest = i;
        int c = rest % channels; rest /= channels;
        int k = rest % 9; rest /= 9;
        int q = rest % columns; rest /= columns;
        int r = rest % rows;
        long long b = rest / rows;
        int y = stride * r + k / 3 - before, z = stride * q + k % 3 - before;
        bool inside = 0 <= y && y < height && 0 <= z && z < width;
        out[i] = inside ? x[((b * height + y) * width + z) * channels + c] : (T)0;
    }
}

// The adjoint: dx[b, y, z, c] = the sum of all out[b, r, q, 3 u + v, c] that hold it.
extern "C" __global__ void windows_pull(const T* out, T* dx, long long n, int height, int width,
                                        int channels, int rows, int columns, int stride,
                                        int before) {
    EACH(i, n) {
        long long rest = i;
        int c = rest % channels; rest /= channels;
        int z = rest % width; rest /= width;
        int y = rest % height;
        long long b = rest / height;
        T sum = 0;
        for (int k = 0; k < 9; ++k) {
            int r = y + before - k / 3, q = z + before - k % 3;
            if (r < 0 || q < 0 || r % stride || q % stride) continue;
            r /= stride; q /= stride;
            if (r < rows && q < columns)
                sum += out[(((b * rows + r) * columns + q) * 9 + k) * channels + c];
        }
        dx[i] = sum;
    }
}

// y = silu(gain xhat + bias), xhat = (x + added - mean) rstd; added, gain, bias: (batch, channels),
// mean, rstd: (batch, groups).
extern "C" __global__ void normalise_silu(const T* x, const T* added, const T* gain, const T* bias,
                                          const T* mean, const T* rstd, T* y, long long n,
                                          long long pixels, int channels, int groups) {
    EACH(i, n) {
        int c = i % channels;
        long long b = i / channels / pixels;
        long long bc = b * channels + c, bg = b * groups + c / (channels / groups);
        T z = gain[bc] * ((x[i] + added[bc] - mean[bg]) * rstd[bg]) + bias[bc];
        y[i] = z * sigmoid(z);
    }
}

// dz = dy d silu / dz at the same z, and dz xhat.
extern "C" __global__ void silu_pull(const T* dy, const T* x, const T* added, const T* gain,
                                     const T* bias, const T* mean, const T* rstd, T* dz,
                                     T* weighted, long long n, long long pixels, int channels,
                                     int groups) {
    EACH(i, n) {
        int c = i % channels;
        long long b = i / channels / pixels;
        long long bc = b * channels + c, bg = b * groups + c / (channels / groups);
        T xhat = (x[i] + added[bc] - mean[bg]) * rstd[bg];
        T z = gain[bc] * xhat + bias[bc];
        T s = sigmoid(z);
        dz[i] = dy[i] * s * ((T)1 + z * ((T)1 - s));
        weighted[i] = dz[i] * xhat;
    }
}

// dx = rstd (gain dz - first - xhat second), first and second the means over each group.
extern "C" __global__ void normalise_pull(const T* dz, const T* x, const T* added, const T* gain,
                                          const T* mean, const T* rstd, const T* first,
                                          const T* second, T* dx, long long n, long long pixels,
                                          int channels, int groups) {
    EACH(i, n) {
        int c = i % channels;
        long long b = i / channels / pixels;
        long long bc = b * channels + c, bg = b * groups + c / (channels / groups);
        T xhat = (x[i] + added[bc] - mean[bg]) * rstd[bg];
        dx[i] = rstd[bg] * (gain[bc] * dz[i] - first[bg] - xhat * second[bg]);
    }
}

// AdamW and the average; the numbers are those of `Arrays.adamw`.
extern "C" __global__ void adamw(T* w, const T* g, T* first, T* second, T* average, long long n,
                                 T scale, T b_1, T b_2, T kept, T rate, T root, T move) {
    EACH(i, n) {
        T slope = g[i] * scale;
        T m = first[i] * b_1 + slope * ((T)1 - b_1);
        T v = second[i] * b_2 + slope * slope * ((T)1 - b_2);
        first[i] = m;
        second[i] = v;
        T value = w[i] * kept - rate * m / (sqrt(v) * root + (T)1e-8);
        w[i] = value;
        average[i] += (value - average[i]) * move;
    }
}
