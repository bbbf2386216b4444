-- What the service asks its catalogue. One statement each, reading only; values come by name.

-- name: cameras
SELECT camera.id, camera.maker, camera.model, camera.variant, mount.name AS mount, camera.crop_factor
FROM camera_name
JOIN camera ON camera.id = camera_name.camera
JOIN mount ON mount.id = camera.mount
WHERE camera_name.maker = :maker AND camera_name.model = :camera
ORDER BY camera.id;

-- name: camera_names
SELECT DISTINCT camera.maker, camera.model
FROM camera
WHERE :maker IS NULL OR camera.maker IN (
    SELECT camera.maker FROM camera_name JOIN camera ON camera.id = camera_name.camera
    WHERE camera_name.maker = :maker
)
ORDER BY camera.maker, camera.model;

-- A lens fits where the camera takes one of its mounts, and where it was calibrated on a sensor no smaller than
-- the camera's, 4 % allowed: the rule of Lensfun 0.3. Of several calibrations the nearest is given.
-- name: fits
SELECT id, maker, model, name, kind, focal_min_mm, focal_max_mm, widest_aperture, MAX(crop_factor) AS crop_factor
FROM lens
WHERE id IN (
    SELECT lens_mount.lens
    FROM camera
    JOIN takes ON takes.camera_mount = camera.mount
    JOIN lens_mount ON lens_mount.mount = takes.lens_mount
    JOIN lens AS fitting ON fitting.id = lens_mount.lens
    WHERE camera.id = :camera AND camera.crop_factor >= fitting.crop_factor * 0.96
)
AND (:kind IS NULL OR kind = :kind)
GROUP BY maker, model
ORDER BY focal_min_mm, focal_max_mm, widest_aperture, maker, model;

-- name: find
SELECT id, maker, model, name, kind, focal_min_mm, focal_max_mm, widest_aperture, MIN(crop_factor) AS crop_factor
FROM lens
WHERE maker || ' ' || model || ' ' || IFNULL(name, '') LIKE :pattern ESCAPE '\'
GROUP BY maker, model
ORDER BY maker, model
LIMIT :limit;

-- name: lens
SELECT id, maker, model, name, kind, focal_min_mm, focal_max_mm, widest_aperture, MIN(crop_factor) AS crop_factor
FROM lens
WHERE LOWER(:lens) IN (LOWER(model), LOWER(name), LOWER(maker || ' ' || model), LOWER(maker || ' ' || name))
GROUP BY maker, model
ORDER BY maker, model;

-- name: mounts
SELECT lens_mount.lens, mount.name
FROM lens_mount
JOIN mount ON mount.id = lens_mount.mount
ORDER BY mount.name;

-- name: about
SELECT name, text FROM about;
